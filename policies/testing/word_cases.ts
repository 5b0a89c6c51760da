/** The verdicts of the four bad-words policies for one text each. One table, so that the languages agree. */

/** The committed builds of the same policy. */
export const BAD_WORDS = ["bad_words", "bad_words_wat", "bad_words_c", "bad_words_rust"] as const;

/** Texts that contain a word. */
export const REFUSED: Readonly<Record<string, string>> = {
  "as it is": "malware",
  "inside of a sentence": "get some malware here",
  "inside of a longer word": "antimalwares",
  "upper case": "MALWARE",
  "mixed case": "mAlWaRe",
  "with accents, composed": "m\u00e1lw\u00e4r\u00e9",
  "with accents, as marks": "ma\u0301lwa\u0308re\u0301",
  "with a stack of marks": `mal${"\u0301".repeat(200)}ware`,
  "full width": "ｍａｌｗａｒｅ",
  "full width, upper case": "ＭＡＬＷＡＲＥ",
  "mathematical bold": "\u{1d426}\u{1d41a}\u{1d425}\u{1d430}\u{1d41a}\u{1d42b}\u{1d41e}",
  "circled": "ⓜⓐⓛⓦⓐⓡⓔ",
  "with a soft hyphen": "mal\u00adware",
  "with a zero-width space": "mal\u200bware",
  "with a zero-width joiner": "mal\u200dware",
  "with a word joiner": "mal\u2060ware",
  "with a variation selector": "mal\ufe0fware",
  "with tag characters": "mal\u{e0061}\u{e0100}ware",
  "with a bidirectional control": "mal\u202eware",
  "with the long s": "phi\u017fhing",
  "with a dotless i": "ph\u0131sh\u0131ng",
  "with a dotted capital I": "PH\u0130SH\u0130NG",
  // U+339C is "mm": the word begins with its second letter.
  "with a character that is two letters": "\u339calware",
  "JSON escapes": '{"text":"\\u006d\\u0061lware"}',
  "JSON escapes with upper-case digits": '{"text":"\\uFF4Dalware"}',
  "JSON escapes of a pair": '{"text":"\\ud835\\udc26alware"}',
  "German word, other case": "SCHÄDLING",
  "German word without its accent": "schadling",
  "Russian word, other case": "Вирус",
  "Japanese word, half width": "ｳｲﾙｽ",
  "at the end of 64 KiB": `${"x".repeat(65_536)}malware`,
  "after bytes that begin no character": "\ufffd\ufffdmalware",
};

/** Texts that contain no word. */
export const ALLOWED: Readonly<Record<string, string>> = {
  "nothing": "",
  "a clean sentence": "hello, world",
  "a word cut short": "malwar",
  "a word with a space": "mal ware",
  "a word with a line break": "mal\nware",
  "letters that only look alike": "m\u0430lw\u0430re",
  "digits for letters": "m4lw4r3",
  "an escaped backslash": '{"text":"\\\\u006dalware"}',
  "half of an escape": "\\u006",
  "a lone backslash": "\\",
  "Hangul": "한국어 텍스트",
  "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈",
};
