# Read by cpack. It only warns without these, and makes a package that depends on nothing and so can't run.
if(CPACK_GENERATOR STREQUAL "DEB")
  foreach(program dpkg-shlibdeps file)
    find_program(KVD_${program} ${program})
    if(NOT KVD_${program})
      message(FATAL_ERROR "a Debian package needs ${program}: install what scripts/setup --build lists")
    endif()
  endforeach()
endif()
