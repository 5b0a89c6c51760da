// Looks 1,024 keys up in a hash table with linear probing; every second one is there.
import { TABLE } from "./layout";

const SLOTS: u32 = 2048;
const KEYS: u32 = 1024;

function slotOf(key: u32): u32 {
  const mixed = (key ^ key >> 16) * 0x7feb352d;
  return (mixed ^ mixed >> 15) & (SLOTS - 1);
}

/** Puts the even keys in. */
export function prepare(): void {
  for (let key: u32 = 2; key <= KEYS * 2; key += 4) {
    let slot = slotOf(key);
    while (load<u32>(TABLE + (slot << 3)) != 0) slot = (slot + 1) & (SLOTS - 1);
    store<u32>(TABLE + (slot << 3), key);
    store<u32>(TABLE + (slot << 3) + 4, key * 3);
  }
}

function find(key: u32): u32 {
  let slot = slotOf(key);
  let there = load<u32>(TABLE + (slot << 3));
  while (there != 0 && there != key) {
    slot = (slot + 1) & (SLOTS - 1);
    there = load<u32>(TABLE + (slot << 3));
  }
  return there == 0 ? 0 : load<u32>(TABLE + (slot << 3) + 4);
}

/** One lookup of every key. */
export function run(): i32 {
  let sum: u32 = 0;
  for (let key: u32 = 2; key <= KEYS * 2; key += 2) sum += find(key);
  return sum;
}
