/**
 * Bundles the console's thread for replays into one file of plain JavaScript, which the Shield serves. It is
 * made by `deno bundle`, and is not minified, so that a change of it can be read.
 */
const ENTRY = "arq/replay/page_thread.ts";

const HEAD = `// Made by \`deno task gen\` of ${ENTRY} and all that it imports; not written by hand.
// It repeats recorded decisions in the browser. policy_trial.js starts it.
`;

/** The text of the bundle. Rejects with what `deno bundle` says. */
export async function renderReplayWorker(root: string): Promise<string> {
  const args = ["bundle", "--quiet", "--frozen", "--platform", "browser", ENTRY];
  const command = new Deno.Command(Deno.execPath(), { args, cwd: root });
  const { code, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  if (code !== 0) throw new Error(`deno bundle failed\n${decoder.decode(stderr)}`);
  // Comments of the bundler name files of this machine.
  return HEAD + decoder.decode(stdout).replaceAll(/^\/\/ \S+\.[jt]s\n/gm, "");
}
