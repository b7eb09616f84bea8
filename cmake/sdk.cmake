# Interface targets for LibTorch and Arrow C++, taken from their Python wheels used as SDKs. find_package(Torch) is not
# used: with a CUDA build of the wheel it would ask for a CUDA toolkit, and only the CPU libraries are linked here.
if(NOT ETRLREC_SDK)
  file(GLOB candidates ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages)
  foreach(prefix IN LISTS CMAKE_PREFIX_PATH)
    list(APPEND candidates ${prefix} ${prefix}/..)
  endforeach()
  foreach(candidate IN LISTS candidates)
    if(EXISTS ${candidate}/torch/lib OR EXISTS ${candidate}/pyarrow/include)
      set(ETRLREC_SDK ${candidate})
      break()
    endif()
  endforeach()
endif()

add_library(etrlrec_arrow_sdk INTERFACE)
file(GLOB arrow_library ${ETRLREC_SDK}/pyarrow/libarrow.so.*)
file(GLOB parquet_library ${ETRLREC_SDK}/pyarrow/libparquet.so.*)
list(FILTER arrow_library EXCLUDE REGEX "\\.so\\.[0-9]+\\.[0-9]+")
list(FILTER parquet_library EXCLUDE REGEX "\\.so\\.[0-9]+\\.[0-9]+")
if(arrow_library AND parquet_library)
  target_include_directories(etrlrec_arrow_sdk SYSTEM INTERFACE ${ETRLREC_SDK}/pyarrow/include)
  target_link_libraries(etrlrec_arrow_sdk INTERFACE ${parquet_library} ${arrow_library})
else()
  find_package(Arrow REQUIRED)
  find_package(Parquet REQUIRED)
  target_link_libraries(etrlrec_arrow_sdk INTERFACE Parquet::parquet_shared Arrow::arrow_shared)
endif()

# The one OpenMP runtime of the program: LibTorch's own, or the compiler's where LibTorch is not linked. clang calls a
# library of its own (libomp), which also answers for libgomp and therefore goes first.
add_library(etrlrec_openmp INTERFACE)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang" OR NOT ETRLREC_TORCH)
  target_link_options(etrlrec_openmp INTERFACE -fopenmp)
else()
  file(GLOB torch_gomp ${ETRLREC_SDK}/torch/lib/libgomp*.so*)
  target_link_libraries(etrlrec_openmp INTERFACE ${torch_gomp})
  target_link_options(etrlrec_openmp INTERFACE -Wl,-rpath,${ETRLREC_SDK}/torch/lib)
endif()

if(ETRLREC_TORCH)
  if(NOT EXISTS ${ETRLREC_SDK}/torch/lib/libtorch_cpu.so)
    message(FATAL_ERROR "LibTorch not found: expected torch/lib/libtorch_cpu.so under ETRLREC_SDK=\"${ETRLREC_SDK}\"\n"
                        "hint: ./run build installs it")
  endif()
  set(torch_lib ${ETRLREC_SDK}/torch/lib)
  # The wheel carries headers of another fmt than the library that is linked: the system's headers go first. Then come
  # light ones of our own for ATen/ATen.h and torch/types.h, which halve what every unit costs.
  find_path(fmt_include fmt/format.h REQUIRED)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/system_headers)
  file(CREATE_LINK ${fmt_include}/fmt ${CMAKE_BINARY_DIR}/system_headers/fmt SYMBOLIC)
  add_library(etrlrec_torch_sdk INTERFACE)
  target_include_directories(etrlrec_torch_sdk SYSTEM INTERFACE
    ${CMAKE_BINARY_DIR}/system_headers ${CMAKE_SOURCE_DIR}/cmake/torch_headers ${ETRLREC_SDK}/torch/include ${ETRLREC_SDK}/torch/include/torch/csrc/api/include)
  target_compile_options(etrlrec_torch_sdk INTERFACE -fopenmp)
  target_link_libraries(etrlrec_torch_sdk INTERFACE
    ${torch_lib}/libtorch_cpu.so ${torch_lib}/libc10.so etrlrec_openmp)
  target_link_options(etrlrec_torch_sdk INTERFACE -Wl,-rpath,${torch_lib})
endif()
