/** The upload to JSR, as a local registry receives it from the real `deno publish`. */
import assert from "node:assert/strict";
import { deno } from "../checkout/programs.ts";
import { ROOT } from "../checkout/source_files.ts";
import { atEnd } from "../../shared/testing/at_end.ts";

/** Answers as JSR's API does for a new version, and keeps the uploads by package. */
function registry(): { url: string; uploads: Map<string, Uint8Array>; stop: () => Promise<void> } {
  const uploads = new Map<string, Uint8Array>();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      const [, name, is_version] = /\/packages\/([^/]+)(\/versions\/)?/.exec(pathname) ?? [];
      if (request.method === "POST" && name !== undefined) uploads.set(name, await request.bytes());
      if (request.method === "GET" && is_version !== undefined) {
        return Response.json({ code: "packageVersionNotFound", message: "none" }, { status: 404 });
      }
      return Response.json({ id: "1", status: "success", error: null, scope: "arqon", name });
    },
  );
  const url = `http://127.0.0.1:${server.addr.port}/`;
  return { url, uploads, stop: () => server.shutdown() };
}

async function textOf(archive: Uint8Array, path: string): Promise<string> {
  const file = await Deno.makeTempFile({ suffix: ".tar.gz" });
  await using _end = atEnd(() => Deno.remove(file));
  await Deno.writeFile(file, archive);
  const tar = new Deno.Command("tar", { args: ["-xzOf", file, path] });
  return new TextDecoder().decode((await tar.output()).stdout);
}

Deno.test("the SDK on JSR imports the protocol by name and version, not by a path", async () => {
  const jsr = registry();
  await using _end = atEnd(() => jsr.stop());
  for (const member of ["proto", "sdk/typescript"]) {
    await deno(
      // The gate checks the types.
      ["publish", "--token", "none", "--no-provenance", "--no-check", "--allow-dirty"],
      { cwd: ROOT + member, env: { JSR_URL: jsr.url } },
    );
  }
  assert.deepEqual([...jsr.uploads.keys()], ["proto", "sdk"]);
  const { version } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  const connection = await textOf(
    jsr.uploads.get("sdk") ?? new Uint8Array(),
    "connection/connection.ts",
  );
  assert(connection.includes(` from "jsr:@arqon/proto@^${version}"`), connection.slice(0, 600));
  assert(!connection.includes(' from "../../'));
});
