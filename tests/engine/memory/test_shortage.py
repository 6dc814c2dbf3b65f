"""Every way to say that memory ran out, or that the card is gone, is understood; no other is."""

from __future__ import annotations

import errno

import pytest
import torch

from engine.memory.shortage import is_device_lost, is_of_host, is_out_of_memory

SHORT = [
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 7.92 GiB",
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other",
    "CUDA driver error: out of memory",
    "Triton Error [CUDA]: out of memory",
    "cuMemCreate failed with CUDA_ERROR_OUT_OF_MEMORY",
    "HIP out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.98 GiB",
    "HIP error: out of memory",
    "HIP error: hipErrorOutOfMemory",
    "MPS backend out of memory (MPS allocated: 17.92 GB, other allocations: 97.63 MB)",
    "Invalid buffer size: 24.69 GiB",
    "Command failed: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
    "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "Unable to find a valid cuDNN algorithm to run convolution",
    'NVML_SUCCESS == r INTERNAL ASSERT FAILED at "../c10/cuda/CUDACachingAllocator.cpp":995',
    '!handles_.at(i) INTERNAL ASSERT FAILED at "/pytorch/c10/hip/HIPCachingAllocator.cpp":413',
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 68719476736 bytes. Error code 12 (Cannot allocate memory)",
    "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: "
    "you tried to allocate 21233664 bytes.",
    "unable to mmap 2147483648 bytes from file <x>: Cannot allocate memory (12)",
    "std::bad_alloc",
    "failed to allocate 1048576 bytes of page-locked memory",
]
HOST = [
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory",
    "unable to mmap 2147483648 bytes from file <x>: Cannot allocate memory (12)",
    "std::bad_alloc",
    "failed to allocate 1048576 bytes of page-locked memory",
    "can't start new thread",
    "could not create a primitive",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "level_zero backend failed with error: 38 (UR_RESULT_ERROR_OUT_OF_HOST_MEMORY)",
]
LOST = [
    "CUDA error: an illegal memory access was encountered",
    "CUDA error: device-side assert triggered",
    "CUDA error: unspecified launch failure",
    "CUDA error: misaligned address",
    "CUDA error: the launch timed out and was terminated",
    "CUDA error: uncorrectable ECC error encountered",
    "CUDA error: unknown error",
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx(handle, opa, opb)`",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    "cuDNN error: CUDNN_STATUS_MAPPING_ERROR, CUDNN_STATUS_MAPPING_FAILED",
    "Triton Error [CUDA]: an illegal memory access was encountered",
    "HIP error: hipErrorIllegalAddress",
    "HIP error: unspecified launch failure",
    "level_zero backend failed with error: 20 (UR_RESULT_ERROR_DEVICE_LOST)",
    "MPS: command buffer exited with error status",
]
OTHERS = [
    "The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 1",
    "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)",
    "expected scalar type Float but found Half",
    "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu",
    "Cannot copy out of meta tensor; no data!",
    "unsupported operation: some elements of the input tensor and the written-to tensor refer to a "
    "single memory location. Please clone() the tensor before performing the operation.",
    "view size is not compatible with input tensor's size and stride",
    "CUDA error: no kernel image is available for execution on the device",
    "CUDA error: invalid device ordinal",
    "CUDA error: invalid argument",
    "CUDA error: operation not permitted when stream is capturing",
    "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED",
    "CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasLtMatmul`",
    "CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm`",
    "GET was unable to find an engine to execute this computation",
    "out of resource: shared memory, Required: 163840, Hardware limit: 101376",
    "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's "
    "workers are out of shared memory",
    "No available kernel. Aborting execution.",
    "index 12 is out of bounds for dimension 0 with size 4",
    "Inference tensors cannot be saved for backward",
    "Found no NVIDIA driver on your system",
    "Torch not compiled with CUDA enabled",
    "Numpy is not available",
    "Error(s) in loading state_dict: Missing key(s) in state_dict",
    "selected index k out of range",
    "pin_memory() may only be called on dense CPU tensors",
    "Attempted to set the storage of a tensor on device cpu to a storage on different device cuda",
    "shape '[1, 16, 8]' is invalid for input of size 64",
    'isDifferentiableType(t) INTERNAL ASSERT FAILED at "autograd/functions.cpp":47',
    "cannot schedule new futures after shutdown",
    "generator raised StopIteration",
    "dictionary changed size during iteration",
    "memory format option is only supported by strided tensors",
]


@pytest.mark.parametrize("text", SHORT)
def test_a_shortage_is_recognised_by_its_words(text):
    assert is_out_of_memory(RuntimeError(text))
    assert not is_device_lost(RuntimeError(text))


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("x"), OSError(errno.ENOMEM, "Cannot allocate memory")],
)
def test_a_shortage_is_recognised_by_its_type(error):
    assert is_out_of_memory(error)
    assert not is_device_lost(error)


@pytest.mark.parametrize("text", HOST)
def test_a_shortage_of_the_computers_memory_is_told_from_a_cards(text):
    assert is_out_of_memory(RuntimeError(text))
    assert is_of_host(RuntimeError(text))


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOMEM, "Cannot allocate memory")])
def test_the_systems_own_shortages_are_of_the_computers_memory(error):
    assert is_of_host(error)


def test_a_card_runs_out_of_its_own_memory():
    assert not is_of_host(torch.OutOfMemoryError("CUDA out of memory. Pinned memory: 3 GiB"))
    cards = [text for text in SHORT if text.startswith(("CUDA", "HIP", "MPS", "cuMem", "Triton"))]
    assert [text for text in cards if is_of_host(RuntimeError(text))] == []


@pytest.mark.parametrize("text", LOST)
def test_a_lost_device_is_recognised_by_its_words(text):
    assert is_device_lost(RuntimeError(text))
    assert not is_out_of_memory(RuntimeError(text))


def test_what_torch_calls_a_failure_of_the_accelerator_is_one_unless_memory_ran_out():
    assert is_device_lost(torch.AcceleratorError("CUDA error: something new", 999))
    full = torch.AcceleratorError("CUDA error: out of memory", 2)
    assert is_out_of_memory(full)
    assert not is_device_lost(full)


@pytest.mark.parametrize("text", OTHERS)
def test_nothing_else_is_taken_for_either(text):
    assert not is_out_of_memory(RuntimeError(text))
    assert not is_device_lost(RuntimeError(text))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("out of memory"),
        KeyError("CUDA out of memory"),
        OSError(errno.ENOSPC, "No space left"),
        FileNotFoundError(errno.ENOENT, "out of memory.png"),
    ],
)
def test_words_in_an_error_of_another_kind_mean_nothing(error):
    assert not is_out_of_memory(error)
    assert not is_device_lost(error)
