"""Operations to seconds and money on a declared machine."""

from __future__ import annotations

from vlmlab.recipe.machine import Machine


def seconds(operations: float, *, precision: str, machine: Machine) -> float:
    """Seconds that the machine takes at its declared utilisation of the peak; `operations` are executed ones."""
    hardware = machine.hardware
    peak = hardware.peak_bfloat16 if precision == "bfloat16" else hardware.peak_float32
    return operations / (peak * hardware.utilisation * machine.devices)


def price(duration: float, *, machine: Machine) -> float:
    """Price of `duration` seconds on all devices, in the currency of `price_per_hour`."""
    return duration / 3600 * machine.hardware.price_per_hour * machine.devices
