# The CustomResourceDefinitions become bytes of the program, so that policies are checked against them without a cluster.
set(crds_c "${CMAKE_BINARY_DIR}/generated/cli/crds.c")
add_custom_command(OUTPUT "${crds_c}"
  COMMAND "${CMAKE_COMMAND}" "-DCRDS=${CMAKE_SOURCE_DIR}/crds" "-DOUT=${crds_c}" -P "${dir}/embed_crds.cmake"
  DEPENDS "${dir}/embed_crds.cmake" "${CMAKE_SOURCE_DIR}/crds/profilingpolicies.yaml" "${CMAKE_SOURCE_DIR}/crds/clusterprofilingpolicies.yaml"
  COMMENT "Embedding the CustomResourceDefinitions")
target_sources(${library} PRIVATE "${crds_c}")
