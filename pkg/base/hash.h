// Hashes. kp_hash64 (XXH64) is stable for ever: slots, samples and series ids depend on it, across processes
// and versions.
#ifndef KP_BASE_HASH_H
#define KP_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t kp_hash64(const void *data, size_t len, uint64_t seed);
uint64_t kp_hash64_str(const char *s, uint64_t seed);
// Mixes a number into a hash.
uint64_t kp_hash64_mix(uint64_t hash, uint64_t value);
// The hash as a number in [0, 1).
double kp_hash_unit(uint64_t hash);

// SipHash-2-4: a hash that nobody can foresee without the key, for what is told to strangers.
uint64_t kp_siphash(const uint64_t key[2], const void *data, size_t len);

// Castagnoli's CRC, with the processor's instruction where there is one. Start with 0; a result goes on as
// crc.
uint32_t kp_crc32c(uint32_t crc, const void *data, size_t len);
uint32_t kp_crc32c_portable(uint32_t crc, const void *data, size_t len); // the same without the instruction

#endif
