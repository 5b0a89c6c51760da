/** The reducers that are built from `policies/reducers`, and rooms that they run in. */
import { durableRooms } from "./room_classes.ts";

const BUILT = new URL("../../policies/build/reducers/", import.meta.url).pathname;

/** The file of a module. */
export const reducerFile = (name: string): string => `${BUILT}${name}.wasm`;

/** The bytes of a module. */
export const builtReducer = (name: string): Uint8Array<ArrayBuffer> =>
  Deno.readFileSync(reducerFile(name));

/** TOML of a module, and of a class of rooms that it runs in; `more` has other lines of the class. */
export function reducedRooms(room: string, name: string, ...more: string[]): string {
  const module = `\n[[reducers]]\nname = "${name}"\nfile = "${reducerFile(name)}"\n`;
  return module + durableRooms(room, `reducer = "${name}"`, ...more);
}
