# ./run check --ports: other compilers and machines. Sourced by ./run, whose functions it uses.

PORT_PACKAGES=(clang libomp-dev g++-aarch64-linux-gnu qemu-user)
ARM_PACKAGES=(libfmt9 libfmt-dev nlohmann-json3-dev libpcre2-8-0 libpcre2-dev libutf8proc2 libutf8proc-dev
  libsentencepiece0 libsentencepiece-dev libssl3 libssl-dev libcpp-httplib0.11 libcpp-httplib-dev libbrotli1
  libbrotli-dev zlib1g zlib1g-dev googletest libgtest-dev)

# Debian's arm64 libraries and Arrow's wheel, unpacked in a folder: the machine's own package state stays as it is.
install_arm_libraries() { # FOLDER
  local folder=$PWD/$1
  [ -e "$folder/.libraries" ] && return 0
  say "fetching arm64 libraries into $1"
  mkdir -p "$folder"/{lists/partial,cache/archives/partial,debs,sysroot,sdk}
  touch "$folder/status"
  local apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State::Lists=$folder/lists"
    -o "Dir::State::Status=$folder/status" -o "Dir::Cache=$folder/cache" -o APT::Sandbox::User=)
  "${apt[@]}" update
  (cd "$folder/debs" && "${apt[@]}" download "${ARM_PACKAGES[@]}")
  local deb
  for deb in "$folder"/debs/*.deb; do dpkg -x "$deb" "$folder/sysroot"; done
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" --quiet --disable-pip-version-check download --no-deps --only-binary=:all: \
    --platform manylinux_2_28_aarch64 --dest "$folder" "pyarrow==$PYARROW_VERSION"
  python3 -m zipfile -e "$folder"/pyarrow-*.whl "$folder/sdk"
  touch "$folder/.libraries"
}

# The torch-free rooms and their tests on aarch64.
check_aarch64() {
  install_arm_libraries build-aarch64
  ETRLREC_SDK=$PWD/build-aarch64/sdk build build-aarch64 all -DETRLREC_TORCH=OFF -DETRLREC_WERROR=ON \
    -DCMAKE_BUILD_TYPE=Release "-DCMAKE_TOOLCHAIN_FILE=$PWD/cmake/aarch64.cmake"
  run_tests build-aarch64
}

# Warnings and right answers do not need a fast program: -O1, which takes less time.
check_clang() {
  build build-clang "all etrlrec_speed" -DETRLREC_WERROR=ON -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=clang++ \
    "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG"
  run_tests build-clang -L quick
}

# Kernels and differentiable pieces as machines without AVX-512, and without AVX, run them. --isa limits the choice of
# kernels; qemu then refuses every instruction that such a machine has not.
check_older_machines() {
  [ "$(uname -m)" = x86_64 ] || return 0
  build build all
  local isa cpu
  for isa in avx2 base; do
    say "tests with --isa=$isa"
    build/etrlrec_plain_tests --gtest_brief=1 --isa=$isa --room=kernels
    build/etrlrec_torch_tests --gtest_brief=1 --isa=$isa --room=nn
  done
  # Without what qemu does not emulate and no program asks for: it would warn of each.
  for cpu in Haswell-noTSX,-invpcid,-pcid,-x2apic,-tsc-deadline Nehalem; do
    say "tests on an emulated ${cpu%%[-,]*}"
    qemu-x86_64 -cpu $cpu build/etrlrec_plain_tests --gtest_brief=1 --room=kernels
  done
}

check_ports() {
  install_packages "${PACKAGES[@]}" "${PORT_PACKAGES[@]}"
  check_aarch64
  check_older_machines
  check_clang
}
