"""Another path of ONNX Runtime's for its sessions and values.

In: nothing. Out: the classes of `alula.onnxruntime`.
"""

from alula.onnxruntime.devices import OrtDevice
from alula.onnxruntime.session import InferenceSession
from alula.onnxruntime.values import IOBinding, OrtValue

__all__ = ["IOBinding", "InferenceSession", "OrtDevice", "OrtValue"]
