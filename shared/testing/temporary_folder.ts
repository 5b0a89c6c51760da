/** A folder of a test's own below the system's temporary one: it is removed, with all that is in it, with its scope. */

/** A new, empty folder. */
export async function temporaryFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: "arqon-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
