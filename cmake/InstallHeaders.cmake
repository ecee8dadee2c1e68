# Run at install time, with `source`, `include` and `headers` set: copies the faces of libraries.
foreach(header ${headers})
  file(READ ${source}/${header} text)
  string(REGEX REPLACE "#include \"((base|client|embed)/[a-z_]+\\.h)\"" "#include <kv/\\1>" text "${text}")
  message(STATUS "Installing: ${include}/${header}")
  file(WRITE ${include}/${header} "${text}")
endforeach()
