// Where the kernels keep their input and tables: plain memory, no objects, so that only the loop counts.

/** First byte of the input. */
export const INPUT: usize = 0x10000;
/** Length of the input: the payload of a long message. */
export const INPUT_BYTES: usize = 4096;
/** First byte of what a kernel writes or looks up. */
export const TABLE: usize = 0x20000;

/** A chat message of words in several scripts, repeated, with JSON around the words. */
const TEXT = '{"user":"Zoë","text":"The quick brown fox – быстрая лиса, 狐 – said \\"no\\" 42 times","n":[1,2.5,-3e7,true,null]},';

/** Fills the input. */
export function fillInput(): void {
  const bytes = String.UTF8.encode(TEXT);
  const start = changetype<usize>(bytes);
  const size = <usize>bytes.byteLength;
  for (let at: usize = 0; at < INPUT_BYTES; at++) {
    store<u8>(INPUT + at, load<u8>(start + at % size));
  }
}
