// Runs an Aho-Corasick automaton with a full transition table over 4 KiB.
import { fillInput, INPUT, INPUT_BYTES, TABLE } from "./layout";

const STATES = 64;
const FAIL: usize = TABLE + STATES * 256;
const ACCEPTS: usize = FAIL + STATES;
const QUEUE: usize = ACCEPTS + STATES;

function addWord(word: string, states: i32): i32 {
  let state = 0;
  for (let index = 0; index < word.length; index++) {
    const cell = TABLE + (state << 8) + word.charCodeAt(index);
    let next: i32 = load<u8>(cell);
    if (next == 0) {
      next = states++;
      store<u8>(cell, <u8>next);
    }
    state = next;
  }
  store<u8>(ACCEPTS + state, 1);
  return states;
}

/** Makes trie and failure links into one table, as Aho and Corasick do, breadth first. */
export function prepare(): void {
  fillInput();
  let states = addWord("malware", 1);
  states = addWord("phishing", states);
  states = addWord("times", states);
  states = addWord("fish", states);
  let head: usize = 0;
  let tail: usize = 0;
  for (let byte = 0; byte < 256; byte++) {
    const next = load<u8>(TABLE + byte);
    if (next != 0) store<u8>(QUEUE + tail++, next);
  }
  while (head < tail) {
    const state = <usize>load<u8>(QUEUE + head++);
    const fail = <usize>load<u8>(FAIL + state);
    if (load<u8>(ACCEPTS + fail)) store<u8>(ACCEPTS + state, 1);
    for (let byte: usize = 0; byte < 256; byte++) {
      const cell = TABLE + (state << 8) + byte;
      const onward = load<u8>(TABLE + (fail << 8) + byte);
      const next = load<u8>(cell);
      if (next == 0) {
        store<u8>(cell, onward);
      } else {
        store<u8>(FAIL + next, onward);
        store<u8>(QUEUE + tail++, next);
      }
    }
  }
}

/** One pass over the input; the number of matches. */
export function run(): i32 {
  let found = 0;
  let state: usize = 0;
  for (let at = INPUT, end = INPUT + INPUT_BYTES; at < end; at++) {
    state = load<u8>(TABLE + (state << 8) + load<u8>(at));
    found += load<u8>(ACCEPTS + state);
  }
  return found;
}
