"""Environment variables by which the packages choose kernels, algorithms and threads. Imports no TensorFlow.

They are recorded, not refused: a cluster may need one. tests/runtime/test_variables.py looks for them in the installed
packages, and fails if an upgrade brings one that is named neither here nor among those without effect on a result.
"""

import os
from collections.abc import Mapping

from pipeline.errors import EnvironmentMismatch

# beginnings of names. Not all of TF_, which Terraform uses too: TF_VAR_, TF_TOKEN_ and TF_HTTP_ hold passwords
FAMILIES = (
    # TensorFlow
    "DTENSOR_", "TENSORFLOW_USE_", "TF2XLA_", "TFE_", "TFRT_", "TFXLA_", "TF_AUTO", "TF_CONV2D_", "TF_CUBLAS_",
    "TF_CUDNN_", "TF_CUFFT_", "TF_DATA_EXPERIMENT_", "TF_DEBUG_CUDNN_", "TF_DETERMINISTIC_", "TF_DISABLE_", "TF_EAGER_",
    "TF_ENABLE", "TF_FORCE_UNIFIED_", "TF_FP16_", "TF_FUNCTION_", "TF_GPU_ALLOC", "TF_GPU_THREAD_", "TF_JIT",
    "TF_MATMUL_", "TF_MKL_", "TF_NUM_", "TF_ONEDNN_", "TF_OPTIONALS_", "TF_OVERRIDE_", "TF_PS_", "TF_PSS_",
    "TF_RUN_HANDLER_", "TF_SET_", "TF_TRT_ALLOW_", "TF_TRT_EXPERIMENTAL_", "TF_USE_", "TF_XLA_",
    # compilers and libraries below it
    "BLIS_", "CUBLASLT_", "CUBLAS_", "CUDA_DISABLE_", "CUDA_FORCE_", "CUDNN_", "CUFFT_", "CUSOLVER_", "CUSPARSE_",
    "DNNL_", "GOMP_", "GOTO_", "MKL_", "NCCL_", "OMP_", "ONEDNN_", "OPENBLAS_", "PJRT_", "TRITON_", "XLA_",
    # NumPy, SciPy, HDF5, Keras
    "HDF5_PLUGIN_PRELOAD", "HDF5_VOL_", "KERAS_DISTRIBUTION_", "NPY_", "NUMPY_EXPERIMENTAL_", "SCIPY_",
)  # fmt: skip
NAMES = frozenset({
    "AUTOGRAPH_STRICT_CONVERSION", "CUDA_DEVICE_ORDER", "CUDA_ENABLE_MODULE_LAZY_LOADING", "CUDA_LAUNCH_BLOCKING",
    "NVIDIA_TF32_OVERRIDE", "TF_CONFIG", "TF_CPU_ALLOCATOR_USE_BFC", "TF_GRAPH_CACHING",
    "TF_MIN_GPU_MULTIPROCESSOR_COUNT", "TF_PLUGGABLE_DEVICE_LIBRARY_PATH", "TF_REALLY_LOAD_UNSAFE_PACKAGES",
    # Python's evaluation, and what the C library loads and chooses
    "PYTHONCASEOK", "PYTHONHASHSEED", "PYTHONOPTIMIZE", "GLIBC_TUNABLES", "LD_AUDIT", "LD_LIBRARY_PATH", "LD_PRELOAD",
})  # fmt: skip
FLAGS = ("XLA_FLAGS", "TF_XLA_FLAGS", "TF_JITRT_FLAGS")  # a value that does not begin with a dash names a file of flags


def is_recorded(name: str) -> bool:
    """Return whether the value of a variable is part of the environment record."""
    return name in NAMES or name.startswith(FAMILIES)


def recorded(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that may change the bits of a run, such as TF_ENABLE_ONEDNN_OPTS, by name."""
    return {name: value for name, value in sorted(variables.items()) if is_recorded(name)}


def check(variables: Mapping[str, str] = os.environ) -> None:
    """Check that the recorded values say everything.

    Raises:
        EnvironmentMismatch: One names a file of flags, whose content would not be recorded.
    """
    for name in FLAGS:
        value = variables.get(name, "").strip()
        if value and not value.startswith("-"):
            raise EnvironmentMismatch(
                f"{name}: expected flags that begin with a dash, so that they are recorded with the run; found "
                f"{value!r}, which TensorFlow reads as the name of a file. Write the flags into the variable, or unset "
                "it."
            )
