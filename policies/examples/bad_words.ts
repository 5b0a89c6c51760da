// Refuses a message that contains one of the words, at any position and also inside of a longer word,
// in any case, accent, width or style. The same policy is in C, Rust and WAT beside this file.
import { allow, onMessage, reject, WordList } from "../sdk/mod.ts";

const words = new WordList(["malware", "phishing", "ransomware", "Schädling", "вирус", "ウイルス"]);

onMessage((m) => words.isIn(m.bytes) ? reject("a word in this message is not allowed") : allow());
