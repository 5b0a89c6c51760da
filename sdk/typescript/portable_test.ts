// The SDK must run without Deno: it is type-checked with the web platform's types only, and it must load only modules
// of this repository.
import assert from "node:assert/strict";

const ROOT = new URL("../../", import.meta.url).pathname;
const ENTRY = `${ROOT}sdk/typescript/mod.ts`;

async function deno(args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

Deno.test("the SDK needs nothing but the web platform's globals", async () => {
  const folder = await Deno.makeTempDir();
  const config = `${folder}/deno.json`;
  await Deno.writeTextFile(
    config,
    JSON.stringify({
      imports: { "@arqon/proto": `${ROOT}proto/mod.ts` },
      compilerOptions: { strict: true, exactOptionalPropertyTypes: true, lib: ["esnext", "dom"] },
    }),
  );
  const check = (file: string) => deno(["check", "--no-lock", "--config", config, file]);
  const { code, err } = await check(ENTRY);
  assert.equal(code, 0, err);
  // The check can fail at all.
  await Deno.writeTextFile(`${folder}/bad.ts`, "Deno.exit(0);\n");
  assert.notEqual((await check(`${folder}/bad.ts`)).code, 0);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("the SDK loads only modules of sdk/ and proto/", async () => {
  const { code, out, err } = await deno(["info", "--json", ENTRY]);
  assert.equal(code, 0, err);
  const { modules } = JSON.parse(out) as { modules: { specifier: string }[] };
  const foreign = modules.map(({ specifier }) => specifier).filter((specifier) =>
    !specifier.startsWith(`file://${ROOT}sdk/typescript/`) &&
    !specifier.startsWith(`file://${ROOT}proto/`)
  );
  assert.deepEqual(foreign, []);
  assert.ok(modules.length > 10);
});
