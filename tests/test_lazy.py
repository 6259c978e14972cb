"""Lazy imports: a module is imported at its first use, and modules that import each other work."""

import subprocess
import sys


def test_keras_is_whole_if_tensorflow_is_used_first():
    code = (
        "import sys; from pipeline.lazy import keras, np, tf;"
        "assert not {'keras', 'numpy', 'tensorflow'} & {*sys.modules}; tf.Tensor, keras.saving, np.ndarray"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stderr
