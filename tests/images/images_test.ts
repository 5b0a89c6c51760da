/** The errors of `deno task images` on a machine that cannot build. Building requires buildah and root. */
import assert from "node:assert/strict";
import { ROOT } from "../../tasks/checkout/source_files.ts";

Deno.test("deno task images reports what a machine lacks and how to install it, and builds nothing", async () => {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-all", `${ROOT}tests/images/main.ts`],
    env: { PATH: "/nowhere" },
  }).output();
  const output = new TextDecoder().decode(stdout);
  assert.equal(code, 3, output);
  if (Deno.build.os !== "linux") return assert.match(output, /^- Linux: /m);
  for (const [program, name] of [["buildah", "buildah"], ["ip", "iproute2"], ["node", "nodejs"]]) {
    assert.match(output, new RegExp(`^- ${program} is not there: apt-get install ${name}$`, "m"));
  }
  assert.equal(/^- root /m.test(output), Deno.uid() !== 0);
});
