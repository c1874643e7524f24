# The page of kp_flame_html() becomes bytes of the library: its parts as arrays, and the hashes of its script and style for the
# page's own security policy.
set(page "${CMAKE_CURRENT_LIST_DIR}/page")
set(page_c "${CMAKE_BINARY_DIR}/generated/report/flame_page.c")
add_custom_command(OUTPUT "${page_c}"
  COMMAND "${CMAKE_COMMAND}" "-DPAGE=${page}" "-DOUT=${page_c}" -P "${page}/embed.cmake"
  DEPENDS "${page}/embed.cmake" "${page}/flame.html" "${page}/flame.css" "${page}/flame.js" "${page}/draw.js" "${page}/data.js"
  COMMENT "Embedding the flame graph's page")
target_sources(kp_report PRIVATE "${page_c}")
