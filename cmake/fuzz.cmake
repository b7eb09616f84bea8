# Fuzz targets, one program for every file of tests/fuzz (clang only): cmake -DETRLREC_FUZZ=ON -DCMAKE_CXX_COMPILER=clang++.
# Parsers of the torch-free rooms come from their libraries; of the others only the units that a parser needs are compiled.
if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "ETRLREC_FUZZ: expected clang, found ${CMAKE_CXX_COMPILER_ID}\nhint: -DCMAKE_CXX_COMPILER=clang++")
endif()

add_custom_target(etrlrec_fuzz)
# fuzz_target(name LINK libraries... UNITS sources...)
function(fuzz_target name)
  cmake_parse_arguments(F "" "" "LINK;UNITS" ${ARGN})
  add_executable(${name}_fuzz tests/fuzz/${name}_fuzz.cc ${F_UNITS})
  target_link_libraries(${name}_fuzz PRIVATE ${F_LINK} etrlrec_base)
  target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
  if("etrlrec_torch_sdk" IN_LIST F_LINK)
    target_compile_options(${name}_fuzz PRIVATE -include ${CMAKE_SOURCE_DIR}/src/pch.h)
  else()
    target_compile_options(${name}_fuzz PRIVATE -include ${CMAKE_SOURCE_DIR}/src/pch_plain.h)
  endif()
  add_dependencies(etrlrec_fuzz ${name}_fuzz)
endfunction()

fuzz_target(log LINK etrlrec_data)
fuzz_target(tokenizer LINK etrlrec_text)
fuzz_target(gguf LINK etrlrec_text etrlrec_kernels)
fuzz_target(completion LINK etrlrec_temporal)
fuzz_target(predictions UNITS src/eval/predictions.cc src/eval/calibration.cc src/eval/metrics.cc src/eval/significance.cc)
fuzz_target(safetensors LINK etrlrec_torch_sdk UNITS src/nn/safetensors.cc)
fuzz_target(config LINK etrlrec_torch_sdk etrlrec_kernels UNITS src/models/decoder_config.cc src/models/t5_config.cc
  src/models/config_fields.cc)
