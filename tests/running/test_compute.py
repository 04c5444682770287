"""What a worker computes with: a device that is there, and the threads that were asked for."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from robustbench_rec.cli.main import main
from robustbench_rec.errors import InputError
from robustbench_rec.running.compute import Compute, find_device


@pytest.fixture
def gpus(monkeypatch):
    """Return a function that sets how many GPUs torch finds."""

    def found(count: int) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: count > 0)
        monkeypatch.setattr("torch.cuda.device_count", lambda: count)

    return found


@pytest.mark.parametrize(
    ("count", "name", "device"),
    [
        (0, "cpu", "cpu"),
        (0, "auto", "cpu"),
        (2, "cpu", "cpu"),
        (2, "auto", "cuda"),
        (2, "cuda", "cuda"),
        (2, "cuda:1", "cuda:1"),
    ],
)
def test_a_device_that_is_there_is_taken(gpus, count, name, device):
    gpus(count)
    assert find_device(name) == device


@pytest.mark.parametrize(
    ("count", "name", "message"),
    [
        (0, "cuda", r"--device cuda: torch 2\S+ finds no CUDA here; give cpu or auto"),
        (0, "cuda:1", "--device cuda:1: torch .* finds no CUDA here"),
        (2, "cuda:2", "--device cuda:2: it must be one of cuda:0 to cuda:1"),
        (2, "gpu", "--device gpu: it must be auto, cpu, cuda or cuda:0"),
        (2, "cuda:x", "--device cuda:x: it must be auto"),
    ],
)
def test_any_other_is_refused_with_what_is_allowed(gpus, count, name, message):
    gpus(count)
    with pytest.raises(InputError, match=message):
        find_device(name)


def test_workers_wait_without_spinning_and_are_told_their_threads():
    environment = Compute(threads=3).environment()
    assert environment["OMP_WAIT_POLICY"] == "passive"
    assert environment["NUMBA_NUM_THREADS"] == environment["OMP_NUM_THREADS"] == "3"


def test_a_run_on_a_gpu_that_is_not_there_ends_in_one_line(gpus):
    gpus(0)
    result = CliRunner().invoke(main, ["run", "smoke", "--device", "cuda"])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "--device cuda: torch" in result.stderr


@pytest.mark.parametrize(
    ("device", "workers"), [("cuda", "4 workers on cuda"), ("cpu", "9 workers")]
)
def test_few_workers_share_a_gpu_unless_told_otherwise(gpus, monkeypatch, device, workers):
    gpus(1)
    monkeypatch.setattr("robustbench_rec.running.compute.available_cores", lambda: 9)
    result = CliRunner().invoke(main, ["run", "smoke", "--dry-run", "--device", device])
    assert f"to run on {workers} -> " in result.stdout


def test_what_runs_cells_in_workers_imports_no_torch_itself():
    program = (
        "import sys; from robustbench_rec.running import run_cells, run_trials, session;"
        "from robustbench_rec.running.engines import loky; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=600).returncode == 0


def test_workers_import_no_pandas():
    program = (
        "import sys; from robustbench_rec.running import execution, run_cells, run_trials;"
        "sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=600).returncode == 0


def test_workers_import_no_compiler_of_torch():
    program = (
        "import sys, torch; from robustbench_rec.running.compute import Compute;"
        "from robustbench_rec.training.fit import Adam; Compute().configure_libraries();"
        "one = torch.zeros(2, requires_grad=True); Adam([one], 0.1, 0.0).step([torch.ones(2)]);"
        "assert torch.are_deterministic_algorithms_enabled();"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=600).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="page faults are counted on Linux")
def test_a_worker_keeps_the_memory_of_its_steps():
    """Once it has grown, 20 rounds of 16 MiB, taken and freed, ask the system for few pages."""
    done = subprocess.run([sys.executable, "-c", ROUNDS], timeout=600, capture_output=True)
    assert int(done.stdout) < 2 * 2**24 // 4096  # without, each of the 20 rounds takes 2^24 bytes


ROUNDS = """
import ctypes, resource
from robustbench_rec.running.compute import Compute

Compute().configure_libraries()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = libc.free.argtypes = [ctypes.c_size_t]
libc.memset.argtypes = [ctypes.c_size_t, ctypes.c_int, ctypes.c_size_t]


def rounds(n):
    for _ in range(n):
        held = [libc.malloc(2**22) for _ in range(4)]
        for block in held:
            libc.memset(block, 1, 2**22)
        for block in reversed(held):
            libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


before = rounds(80)
print(rounds(20) - before)
"""
