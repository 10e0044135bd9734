"""`python benchmarks/statistics.py`: whether the intervals, errors and power of a study's verdicts are what they claim.

2,000 simulated studies a setting; see measuring/simulated_studies.py. Two to three CPU minutes on one core.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    from measuring.simulated_studies import main

    main()
else:
    # Another benchmark asked for Python's own module of this name, and the folder of the script comes first.
    spec = importlib.util.spec_from_file_location(__name__, Path(os.__file__).with_name("statistics.py"))
    assert spec is not None
    assert spec.loader is not None
    sys.modules[__name__] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[__name__])
