// Every limit on what comes from outside, in one place. Passing one is a named error, never growth.
#ifndef KP_BASE_LIMITS_H
#define KP_BASE_LIMITS_H

#define KP_KIB (1024)
#define KP_MIB (1024 * 1024)

#define KP_MAX_PROFILE_BYTES      (64 * KP_MIB)  // as received, gzip or not
#define KP_MAX_INFLATED_BYTES     (512 * KP_MIB) // one profile inflated
#define KP_MAX_INFLATE_RATIO      64             // pprof packs to a third or a tenth
#define KP_MAX_WATCH_OBJECT_BYTES (8 * KP_MIB)   // one object of a list or watch
#define KP_MAX_JSON_BYTES         (16 * KP_MIB)
#define KP_MAX_ANSWER_HEAD        (256 * KP_KIB) // headers of an answer that a client reads, interim ones too
#define KP_MAX_LABELS             64             // of one series
#define KP_MAX_LABEL_KEY          317            // 253/63
#define KP_MAX_LABEL_VALUE        1024
#define KP_MAX_SERVICE_NAME       253
#define KP_MAX_TYPE_NAME          63
#define KP_MAX_RECORD_BYTES       (64 * KP_KIB) // a capture's description, encoded
#define KP_MAX_ENDPOINTS          8
#define KP_MAX_PROFILES           16
#define KP_MAX_HEADERS            16
#define KP_MAX_POD_CONTAINERS     128
#define KP_MAX_POD_PORTS          256

#endif
