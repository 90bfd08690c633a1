# The verbs data path needs libibverbs' headers and no library: posting and polling are inline.
#
#   rdmaq_choose_verbs(<list>)   takes out of a list of sources what RDMAQ_VERBS rules out

set(RDMAQ_VERBS "AUTO" CACHE STRING "ON: insist on libibverbs' headers; OFF: build without; AUTO: as found")

find_path(RDMAQ_VERBS_INCLUDE infiniband/verbs.h DOC "Where infiniband/verbs.h is")
mark_as_advanced(RDMAQ_VERBS_INCLUDE)
if(RDMAQ_VERBS STREQUAL "ON" AND NOT RDMAQ_VERBS_INCLUDE)
  message(FATAL_ERROR "rdmaq cannot be built with verbs: infiniband/verbs.h was not found; "
                      "install libibverbs-dev (rdma-core-devel), or leave RDMAQ_VERBS at AUTO")
endif()
if(RDMAQ_VERBS_INCLUDE AND NOT RDMAQ_VERBS STREQUAL "OFF")
  set(RDMAQ_HAS_VERBS ON)
else()
  set(RDMAQ_HAS_VERBS OFF)
  message(STATUS "rdmaq is built without verbs: infiniband/verbs.h (libibverbs-dev) is absent or not wanted")
endif()

function(rdmaq_choose_verbs list_name)
  set(sources ${${list_name}})
  if(RDMAQ_HAS_VERBS)
    list(FILTER sources EXCLUDE REGEX "/(rdma|link)/absent\\.c$")
  else()
    list(FILTER sources EXCLUDE REGEX "/rdma/(.*_hot|cq|pair|torn|wait)\\.c$")
    list(FILTER sources EXCLUDE REGEX "/link/(.*_hot|backfill|link|replica)\\.c$")
  endif()
  set(${list_name} ${sources} PARENT_SCOPE)
endfunction()
