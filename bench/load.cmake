add_subdirectory(load)
