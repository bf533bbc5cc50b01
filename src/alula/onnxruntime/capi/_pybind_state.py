"""Another path of ONNX Runtime's for the same: options, devices and exceptions.

In: nothing. Out: what `alula.onnxruntime` and its exceptions have.
"""

from alula.onnxruntime import *  # noqa: F403  the same names at another path
from alula.onnxruntime.capi.onnxruntime_pybind11_state import *  # noqa: F403  (the same)
