/* The policy of bad_words.ts in C, without a library: it shows what the ABI requires of a guest.
 * `fold_table.h` is made from ../sdk/fold_table.bin by the build; its layout and the algorithm are
 * those of ../sdk/words.ts. */
#include <stdint.h>

static const uint8_t fold_table[] = {
#include "fold_table.h"
};

#define IMPORT(name) __attribute__((import_module("arqon_host_v1"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

IMPORT(host_get_payload) extern const uint8_t *host_get_payload(void);
IMPORT(host_reject) extern void host_reject(int32_t code, const char *reason, uint32_t length);

/* In their folded form. A new one must be folded by hand, or written in bad_words.ts. */
static const struct {
  uint32_t length;
  const char *bytes;
} words[] = {
    {7, "malware"},  {8, "phishing"},       {10, "ransomware"},
    {9, "schadling"}, {10, "\xd0\xb2\xd0\xb8\xd1\x80\xd1\x83\xd1\x81"},
    {12, "\xe3\x82\xa6\xe3\x82\xa4\xe3\x83\xab\xe3\x82\xb9"},
};
#define WORDS (sizeof words / sizeof words[0])

static const char reason[] = "a word in this message is not allowed";

/* The last 64 folded bytes; no word is longer. */
static uint8_t window[64];
static uint32_t window_count;
static uint8_t ends_word[256];
/* The folded form of an ASCII byte that ends no word and begins no escape; 0 for all others. */
static uint8_t plain[256];

/* Memory for the host: from the end of our own data upwards, all of it free again at each call. */
extern uint8_t __heap_base;
static uint32_t heap_end;

EXPORT(arqon_alloc) void *arqon_alloc(uint32_t size) {
  uint64_t start = (heap_end + 7u) & ~7u;
  uint64_t end = start + size;
  uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) << 16;
  if (end > have) {
    uint64_t pages = (end - have + 0xffff) >> 16;
    if (__builtin_wasm_memory_grow(0, (uint32_t)pages) == (uint32_t)-1) __builtin_trap();
  }
  heap_end = (uint32_t)end;
  return (void *)(uint32_t)start;
}

static uint32_t u32_at(uint32_t at) {
  return fold_table[at] | (uint32_t)fold_table[at + 1] << 8 | (uint32_t)fold_table[at + 2] << 16 |
         (uint32_t)fold_table[at + 3] << 24;
}

/* Whether one of the words ends with `byte`, which is the next byte of the folded text. */
static int push(uint8_t byte) {
  window[window_count++ & 63] = byte;
  if (!ends_word[byte]) return 0;
  for (uint32_t word = 0; word < WORDS; word++) {
    uint32_t left = words[word].length;
    uint32_t start = window_count - left;
    if (window_count < left) continue;
    while (left > 0 && window[(start + left - 1) & 63] == (uint8_t)words[word].bytes[left - 1]) left--;
    if (left == 0) return 1;
  }
  return 0;
}

static int push_ascii(uint32_t point) { return push(point - 'A' < 26 ? point + 32 : point); }

/* A code point as UTF-8, unfolded. */
static int push_point(uint32_t point) {
  if (point < 0x80) return push_ascii(point);
  if (point < 0x800) return push(0xc0 | point >> 6) | push(0x80 | (point & 63));
  if (point < 0x10000)
    return push(0xe0 | point >> 12) | push(0x80 | (point >> 6 & 63)) | push(0x80 | (point & 63));
  return push(0xf0 | point >> 18) | push(0x80 | (point >> 12 & 63)) |
         push(0x80 | (point >> 6 & 63)) | push(0x80 | (point & 63));
}

static int push_folded(uint32_t point) {
  if (point >= 0xe0000 && point < 0xe1000) return 0;
  if (point < 0x80 || point >= u32_at(0)) return push_point(point);
  uint32_t cell = u32_at(4) + fold_table[12 + (point >> 6)] * 128u + (point & 63) * 2;
  uint32_t form = fold_table[cell] | fold_table[cell + 1] << 8;
  if (form == 0) return push_point(point);
  form += u32_at(8);
  int found = 0;
  for (uint32_t index = 1; index <= fold_table[form]; index++) found |= push(fold_table[form + index]);
  return found;
}

/* Value of the escape `\uXXXX` at `at`, -1 if there is none. */
static int32_t unit_at(const uint8_t *at, const uint8_t *end) {
  if (end - at < 6 || at[0] != '\\' || at[1] != 'u') return -1;
  int32_t unit = 0;
  for (int index = 2; index < 6; index++) {
    uint32_t digit = at[index] - '0', letter = (at[index] | 32) - 'a';
    if (digit > 9 && letter > 5) return -1;
    unit = unit << 4 | (int32_t)(digit > 9 ? letter + 10 : digit);
  }
  return unit;
}

/* Reads a backslash and what belongs to it. */
static const uint8_t *read_escape(const uint8_t *at, const uint8_t *end, uint32_t *point) {
  int32_t unit = unit_at(at, end);
  *point = '\\';
  if (unit < 0) return at + (end - at > 1 && at[1] == '\\' ? 2 : 1);
  *point = (uint32_t)unit;
  int32_t low = unit_at(at + 6, end);
  if ((unit & 0xfc00) != 0xd800 || (low & ~0x3ff) != 0xdc00) return at + 6;
  *point = 0x10000u + ((uint32_t)(unit & 0x3ff) << 10) + (uint32_t)(low & 0x3ff);
  return at + 12;
}

/* Reads a code point beyond ASCII; a byte that is not UTF-8 counts as U+FFFD. */
static const uint8_t *read_point(const uint8_t *at, const uint8_t *end, uint32_t *point) {
  uint32_t lead = *at++;
  int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
  *point = 0xfffd;
  if (lead < 0xc2 || lead > 0xf4 || end - at < more) return at;
  uint32_t value = lead & (0x3f >> more);
  for (int index = 0; index < more; index++) {
    if ((at[index] & 0xc0) != 0x80) return at;
    value = value << 6 | (at[index] & 0x3f);
  }
  *point = value;
  return at + more;
}

/* Fills both tables, at the first call. */
static void prepare(void) {
  if (plain['a']) return;
  for (uint32_t word = 0; word < WORDS; word++)
    ends_word[(uint8_t)words[word].bytes[words[word].length - 1]] = 1;
  for (uint32_t byte = 0; byte < 0x80; byte++) {
    uint32_t folded = byte - 'A' < 26 ? byte + 32 : byte;
    if (byte != '\\' && !ends_word[folded]) plain[byte] = (uint8_t)folded;
  }
}

EXPORT(arqon_on_message) int32_t arqon_on_message(void) {
  heap_end = (uint32_t)&__heap_base;
  window_count = 0;
  prepare();
  const uint8_t *payload = host_get_payload();
  if (payload == 0) return 0;
  const uint8_t *at = payload + 4, *end = at + *(const uint32_t *)payload;
  while (at < end) {
    /* Most bytes are plain. Counted in a local: memory costs more fuel than arithmetic. */
    uint32_t count = window_count;
    for (uint8_t folded; at < end && (folded = plain[*at]); at++) window[count++ & 63] = folded;
    window_count = count;
    if (at == end) return 0;
    uint32_t point = *at;
    if (point == '\\') at = read_escape(at, end, &point);
    else if (point < 0x80) at++;
    else at = read_point(at, end, &point);
    if (!push_folded(point)) continue;
    host_reject(403, reason, sizeof reason - 1);
    return 1;
  }
  return 0;
}
