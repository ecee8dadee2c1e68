# How every target of the house is built: ccache where present, warnings as errors, sanitizers by
# preset, and two verbs, kvd_library() and kvd_test(), so that a room's CMakeLists.txt is a list of files.

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")  # KV_CHECK stays on in every build, and so does assert()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  # ccache must know that the precompiled header is part of the input.
  add_compile_options(-fpch-preprocess)
endif()

add_library(kvd_options INTERFACE)
target_compile_options(kvd_options INTERFACE -Wall -Wextra -Wpedantic -Wno-missing-field-initializers -Wshadow -Wnon-virtual-dtor -Werror)
target_include_directories(kvd_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
if(KVD_SANITIZE)
  add_compile_options(-fsanitize=${KVD_SANITIZE} -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=${KVD_SANITIZE})
  if(KVD_SANITIZE MATCHES "thread")
    # g++ 12 warns about every std::atomic_thread_fence in Asio under tsan; the warning is not about our code.
    add_compile_options(-Wno-tsan)
  endif()
endif()

# kvd_library(NAME SOURCES a.cc ... DEPS targets ...): a static library of the house.
function(kvd_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC kvd_options ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
endfunction()

# kvd_test(NAME SOURCES a.cc ... DEPS targets ... [LABELS l ...] [TIMEOUT s]): one GoogleTest binary,
# each of its tests a ctest of its own.
function(kvd_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  if(KVD_SANITIZE MATCHES "thread")
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/tsan_suppressions.cc)
  endif()
  target_link_libraries(${name} PRIVATE kvd_options ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests ${CMAKE_SOURCE_DIR})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST
    PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()
