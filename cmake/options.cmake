# Compiler settings shared by every target, and the switches the presets turn.
option(KP_SANITIZE_ADDRESS "build with AddressSanitizer and UndefinedBehaviorSanitizer" OFF)
option(KP_SANITIZE_THREAD "build with ThreadSanitizer" OFF)
option(KP_FUZZ "build the libFuzzer targets (clang)" OFF)
option(KP_ANALYZE "run gcc -fanalyzer" OFF)
option(KP_BENCH "build the measuring programs of bench/" OFF)
option(KP_COVERAGE "instrument for gcovr" OFF)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

find_program(KP_CCACHE ccache)
if(KP_CCACHE)
  # what one checkout has compiled serves another: paths count from its root
  set(CMAKE_C_COMPILER_LAUNCHER env "CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}" CCACHE_NOHASHDIR=1 "${KP_CCACHE}")
endif()

add_library(kp_flags INTERFACE)
target_compile_definitions(kp_flags INTERFACE _GNU_SOURCE KP_VERSION="${PROJECT_VERSION}")
target_include_directories(kp_flags INTERFACE "${CMAKE_SOURCE_DIR}/pkg")
target_compile_options(kp_flags INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla
  -Wwrite-strings -Wcast-qual -Wformat=2 -Wundef -Wswitch -Wimplicit-fallthrough -Wpointer-arith
  -fstack-protector-strong -fno-omit-frame-pointer)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(kp_flags INTERFACE
    -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wjump-misses-init -Wno-format-truncation)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  # no byte of a release says in which folder it was built, nor whether ccache made the paths relative
  file(RELATIVE_PATH to_source "${CMAKE_BINARY_DIR}" "${CMAKE_SOURCE_DIR}")
  target_compile_options(kp_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
    "-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=" "-ffile-prefix-map=${to_source}=")
  target_link_options(kp_flags INTERFACE -pie -Wl,-z,relro,-z,now -Wl,--as-needed)
endif()
if(KP_SANITIZE_ADDRESS)
  target_compile_options(kp_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all)
  target_link_options(kp_flags INTERFACE -fsanitize=address,undefined)
endif()
if(KP_SANITIZE_THREAD)
  target_compile_options(kp_flags INTERFACE -fsanitize=thread)
  target_link_options(kp_flags INTERFACE -fsanitize=thread)
endif()
if(KP_FUZZ)
  target_compile_options(kp_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_compile_definitions(kp_flags INTERFACE KP_FUZZING)
endif()
if(KP_ANALYZE)
  target_compile_options(kp_flags INTERFACE -fanalyzer -Wno-analyzer-too-complex)
endif()
if(KP_COVERAGE)
  target_compile_options(kp_flags INTERFACE --coverage)
  target_link_options(kp_flags INTERFACE --coverage)
endif()
