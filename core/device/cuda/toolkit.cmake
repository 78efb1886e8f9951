# SPDX-License-Identifier: Apache-2.0
# The CUDA device's compiler and libraries, by STRATA_CUDA:
#   OFF        none; folders with a cuda/ build their no_cuda.cpp
#   ON         nvcc for .cu files; cuBLASLt
#   emulated   g++ for all of it: kernels run as fibers on the CPU, the CUDA runtime and the libraries are the stand-ins of
#              tests/support/cuda_on_cpu. Needs the toolkit's headers, no GPU.
if(STRATA_CUDA STREQUAL "emulated")
  find_path(STRATA_CUDA_INCLUDE cuda_runtime_api.h HINTS $ENV{CUDA_PATH}/include /usr/local/cuda/include)
  strata_package("CUDA headers" "${STRATA_CUDA_INCLUDE}" nvidia-cuda-toolkit "kernels are not tested on the CPU")
  if(NOT STRATA_CUDA_INCLUDE)
    set(STRATA_CUDA OFF)
  endif()
elseif(STRATA_CUDA)
  find_program(CMAKE_CUDA_COMPILER nvcc HINTS $ENV{CUDA_PATH}/bin /usr/local/cuda/bin)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 90a-real)  # a release: 80-real;89-real;90a-real;100-real;120
  endif()
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc has it
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  if(STRATA_CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
  endif()
  find_package(CUDAToolkit REQUIRED)
  # Attention by cuDNN, from the version on that has no open faults in the graphs we make.
  find_path(STRATA_CUDNN_INCLUDE cudnn_graph.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(STRATA_CUDNN_LIBRARY cudnn HINTS ${CUDAToolkit_LIBRARY_DIR})
  set(STRATA_CUDNN "")
  if(STRATA_CUDNN_INCLUDE AND STRATA_CUDNN_LIBRARY)
    file(STRINGS ${STRATA_CUDNN_INCLUDE}/cudnn_version.h version REGEX "define CUDNN_(MAJOR|MINOR) ")
    string(REGEX REPLACE "[^0-9]*([0-9]+)[^0-9]*([0-9]+).*" "\\1.\\2" version "${version}")
    if(version VERSION_GREATER_EQUAL 9.16)
      set(STRATA_CUDNN ${STRATA_CUDNN_LIBRARY})
    endif()
  endif()
  strata_package("cuDNN ${version}" "${STRATA_CUDNN}" "cudnn9-cuda-13 (9.16 or later)" "attention does not use tensor cores")
  strata_package("CUDA ${CUDAToolkit_VERSION}, for ${CMAKE_CUDA_ARCHITECTURES}" TRUE "" "")
endif()

# Collectives by NCCL, from the version on whose communicators need not block; of the pretended GPU, its header.
set(STRATA_NCCL "")
if(STRATA_CUDA)
  find_path(STRATA_NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ${STRATA_CUDA_INCLUDE})
  find_library(STRATA_NCCL_LIBRARY nccl HINTS ${CUDAToolkit_LIBRARY_DIR})
  if(STRATA_NCCL_INCLUDE)
    file(STRINGS ${STRATA_NCCL_INCLUDE}/nccl.h version REGEX "define NCCL_(MAJOR|MINOR) ")
    string(REGEX REPLACE "[^0-9]*([0-9]+)[^0-9]*([0-9]+).*" "\\1.\\2" version "${version}")
    if(version VERSION_GREATER_EQUAL 2.18 AND STRATA_CUDA STREQUAL "emulated")
      set(STRATA_NCCL emulated)
    elseif(version VERSION_GREATER_EQUAL 2.18 AND STRATA_NCCL_LIBRARY)
      set(STRATA_NCCL ${STRATA_NCCL_LIBRARY})
    endif()
  endif()
  strata_package("NCCL ${version}" "${STRATA_NCCL}" "libnccl-dev (2.18 or later)" "ranks exchange GPU tensors through the host")
endif()

if(STRATA_CUDA)
  add_library(strata_cuda_toolkit INTERFACE)
  if(STRATA_CUDA STREQUAL "emulated")
    target_include_directories(strata_cuda_toolkit SYSTEM INTERFACE ${STRATA_CUDA_INCLUDE})
    target_include_directories(strata_cuda_toolkit INTERFACE ${PROJECT_SOURCE_DIR}/tests/support/cuda_on_cpu)
    set(stand_in ${PROJECT_SOURCE_DIR}/tests/support/cuda_on_cpu)
    file(GLOB runtime CONFIGURE_DEPENDS ${stand_in}/*.cpp)
    list(REMOVE_ITEM runtime ${stand_in}/cublas_lt.cpp ${stand_in}/sdpa.cpp  # of core/ops
         ${stand_in}/nccl.cpp)  # of parallel/comm
    add_library(strata_cuda_on_cpu STATIC ${runtime})
    target_include_directories(strata_cuda_on_cpu SYSTEM PUBLIC ${STRATA_CUDA_INCLUDE})
    # What switches between fibers is not itself looked at by the thread sanitizer: it tells it what happens.
    if(STRATA_SANITIZE MATCHES thread)
      target_compile_options(strata_cuda_on_cpu PRIVATE -fno-sanitize=thread)
    endif()
    target_link_libraries(strata_cuda_on_cpu PRIVATE fmt::fmt)
    target_link_libraries(strata_cuda_toolkit INTERFACE strata_cuda_on_cpu)
  else()
    target_include_directories(strata_cuda_toolkit INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/core/device/cuda/nvcc>
                               $<INSTALL_INTERFACE:include/strata/core/device/cuda/nvcc>)
    target_link_libraries(strata_cuda_toolkit INTERFACE CUDA::cudart_static)
    install(TARGETS strata_cuda_toolkit EXPORT StrataTargets COMPONENT development)
  endif()
endif()

# How .cu files are compiled.
function(strata_cuda_sources)
  set(kernels ${ARGN})
  list(FILTER kernels INCLUDE REGEX "[.]cu$")
  if(STRATA_CUDA STREQUAL "emulated")
    set_source_files_properties(${kernels} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-fno-strict-aliasing;-Wno-unknown-pragmas;-Wno-uninitialized;-Wno-maybe-uninitialized")
  else()
    # Host/device functions may use constexpr ones (bit_cast). nvcc does not own up to what fmt needs of it.
    # 186 is a warning about comparisons in templates.
    set_source_files_properties(${kernels} PROPERTIES COMPILE_OPTIONS
                                "-lineinfo;--expt-relaxed-constexpr;-DFMT_USE_CONSTEXPR=1;--diag-suppress=186")
  endif()
endfunction()
