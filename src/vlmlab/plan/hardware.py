"""Operations to seconds and money on a declared machine."""

from __future__ import annotations

from vlmlab.recipe.machine import Machine


def peak(machine: Machine, *, precision: str) -> float:
    """Declared FLOP/s of all devices at a precision."""
    hardware = machine.hardware
    return machine.devices * (hardware.peak_bfloat16 if precision == "bfloat16" else hardware.peak_float32)


def seconds(operations: float, *, precision: str, machine: Machine) -> float:
    """Seconds that the machine takes at its declared utilisation of the peak; `operations` are executed ones."""
    return operations / (peak(machine, precision=precision) * machine.hardware.utilisation)


def utilisation(operations: float, *, seconds: float, peak: float) -> float | None:
    """Share of the peak (FLOP/s) that `operations` in `seconds` are; of useful ones it is the useful MFU.

    None where no time passed or nothing was done.
    """
    return operations / (seconds * peak) if seconds > 0 and operations > 0 else None


def price(duration: float, *, machine: Machine) -> float:
    """Price of `duration` seconds on all devices, in the currency of `price_per_hour`."""
    return duration / 3600 * machine.hardware.price_per_hour * machine.devices
