# One list of warnings for the extension and the C tests.
#
#   rdmaq_own_sources(<target>)   C11 with GNU extensions, and every warning that rdmaq's C keeps clean

function(rdmaq_own_sources target)
  set_target_properties(${target} PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS ON)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes)
  if(RDMAQ_DEVELOPMENT)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
endfunction()
