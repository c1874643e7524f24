#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/banned.h"

// The buffer of xxHash's own sanity check.
static void fill_sanity(uint8_t *out, size_t n)
{
    uint64_t byte = 2654435761u;
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint8_t)(byte >> 56);
        byte *= 11400714785074694797u;
    }
}

static void test_hash_is_xxh64(void **state)
{
    (void)state;
    uint8_t sanity[222];
    fill_sanity(sanity, sizeof sanity);
    static const struct {
        size_t len;
        uint64_t seed, want;
    } vectors[] = {
        {0, 0, 0xEF46DB3751D8E999u},
        {0, 2654435761u, 0xAC75FDA2929B17EFu},
        {1, 0, 0xE934A84ADB052768u},
        {1, 2654435761u, 0x5014607643A9B4C3u},
        {4, 0, 0x9136A0DCA57457EEu},
        {14, 0, 0x8282DCC4994E35C8u},
        {14, 2654435761u, 0xC3BD6BF63DEB6DF0u},
        {222, 0, 0xB641AE8CB691C174u},
        {222, 2654435761u, 0x20CB8AB7AE10C14Au},
    };
    for (size_t i = 0; i < KP_COUNT(vectors); i++)
        assert_int_equal(kp_hash64(sanity, vectors[i].len, vectors[i].seed), vectors[i].want);
    assert_int_equal(kp_hash64_str("abc", 0), 0x44BC2CF5AD770999u);
    assert_int_equal(kp_hash64(NULL, 0, 0), 0xEF46DB3751D8E999u);
}

// From the reference implementation's vectors.h: key 00 01 .. 0f, bytes 00 01 .. of each length.
static void test_siphash_is_the_published_one(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint64_t want;
    } vectors[] = {
        {0, 0x726fdb47dd0e0e31u},
        {1, 0x74f839c593dc67fdu},
        {7, 0xab0200f58b01d137u},
        {8, 0x93f5f5799a932462u},
        {15, 0xa129ca6149be45e5u},
        {63, 0x958a324ceb064572u},
    };
    const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    uint8_t bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    for (size_t i = 0; i < KP_COUNT(vectors); i++)
        assert_int_equal(kp_siphash(key, bytes, vectors[i].len), vectors[i].want);
    assert_int_equal(kp_siphash(key, NULL, 0), vectors[0].want);
}

static void test_hash_is_the_same_at_any_address(void **state)
{
    (void)state;
    uint8_t buffer[128];
    uint8_t text[96];
    fill_sanity(text, sizeof text);
    uint64_t want = kp_hash64(text, sizeof text, 7);
    for (size_t shift = 0; shift < 9; shift++) {
        memcpy(buffer + shift, text, sizeof text);
        assert_int_equal(kp_hash64(buffer + shift, sizeof text, 7), want);
    }
}

// Numbers that slots and samples in the field depend on: a change here moves every schedule.
static void test_derived_numbers_stay(void **state)
{
    (void)state;
    assert_int_equal(kp_hash64_mix(kp_hash64_str("shop/checkout", 0), 42),
        kp_hash64(&(uint64_t){42}, 8, kp_hash64_str("shop/checkout", 0)));
    assert_true(kp_hash_unit(0) == 0.0);
    assert_true(kp_hash_unit(UINT64_MAX) < 1.0);
    assert_true(kp_hash_unit(1ull << 63) == 0.5);
}

static void test_unit_is_even(void **state)
{
    (void)state;
    unsigned bins[16] = {0};
    for (uint64_t i = 0; i < 16000; i++)
        bins[(size_t)(kp_hash_unit(kp_hash64_mix(1, i)) * 16)]++;
    for (size_t i = 0; i < 16; i++)
        assert_in_range(bins[i], 1000 - 5 * 31, 1000 + 5 * 31); // 5 sigma
}

static void check_crc(const void *data, size_t len, uint32_t want)
{
    assert_int_equal(kp_crc32c(0, data, len), want);
    assert_int_equal(kp_crc32c_portable(0, data, len), want);
}

static void test_crc_vectors(void **state)
{
    (void)state;
    uint8_t bytes[32];
    check_crc("", 0, 0);
    check_crc("123456789", 9, 0xE3069283u);
    check_crc(memset(bytes, 0, 32), 32, 0x8A9136AAu); // RFC 3720 B.4
    check_crc(memset(bytes, 0xff, 32), 32, 0x62A8AB43u);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    check_crc(bytes, 32, 0x46DD794Eu);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    check_crc(bytes, 32, 0x113FDB5Cu);
}

static void test_crc_goes_on(void **state)
{
    (void)state;
    uint8_t bytes[222];
    fill_sanity(bytes, sizeof bytes);
    uint32_t whole = kp_crc32c(0, bytes, sizeof bytes);
    for (size_t cut = 0; cut <= sizeof bytes; cut++) {
        assert_int_equal(kp_crc32c(kp_crc32c(0, bytes, cut), bytes + cut, sizeof bytes - cut), whole);
        assert_int_equal(
            kp_crc32c_portable(kp_crc32c(0, bytes, cut), bytes + cut, sizeof bytes - cut), whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_is_xxh64),
        cmocka_unit_test(test_siphash_is_the_published_one),
        cmocka_unit_test(test_hash_is_the_same_at_any_address),
        cmocka_unit_test(test_derived_numbers_stay),
        cmocka_unit_test(test_unit_is_even),
        cmocka_unit_test(test_crc_vectors),
        cmocka_unit_test(test_crc_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
