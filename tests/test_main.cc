// The main function of the test programs. --isa=base|avx2|avx512|avx512_bf16 limits all kernels to
// an instruction set, so that one machine tests what others run.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "base/check.h"
#include "kernels/simd.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const std::string option = "--isa=";
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (!argument.starts_with(option)) {
      fmt::print(stderr, "error: expected --isa=NAME or an option of GoogleTest, found {}\n",
                 argument);
      return 2;
    }
    try {
      etrlrec::simd::set_isa(etrlrec::simd::parse_isa(argument.substr(option.size())));
    } catch (const etrlrec::Error& error) {
      fmt::print(stderr, "error: {}\n", error.what());
      return static_cast<int>(error.code());
    }
  }
  return RUN_ALL_TESTS();
}
