/** `arq reducer test` for tests: it prints to the given streams. */
import { reducerTry } from "../commands/reducer/reducer_try.ts";
import { finish, type Io } from "../terminal/io.ts";

/** Runs it; returns its exit code. */
export async function runReducer(
  io: Io,
  file: string,
  flags: Parameters<typeof reducerTry>[2],
): Promise<number> {
  return await finish(io, await reducerTry(io, file, flags), flags.json === true);
}
