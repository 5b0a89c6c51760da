/**
 * Renders deploy/kubernetes/nats_accounts.conf from docs/run_nats.md, so that the operators' page and the manifests
 * have the same users of NATS. Pure text functions; `gen.ts` writes the file.
 */

const BLOCK = /^authorization \{$[^]*?^\}$/m;
const HEAD =
  `# Who may do what on NATS. Generated from docs/run_nats.md by \`deno task gen\`; do not edit.
# SHIELD_PASSWORD: "…" and one line for each of the other users, of the Secret nats-passwords.
include "nats_passwords.conf"
`;

/** The text of the file, from the text of docs/run_nats.md. Throws if that has no accounts. */
export function renderNatsAccounts(operations: string): string {
  const block = BLOCK.exec(operations)?.[0];
  if (block === undefined) throw new Error("docs/run_nats.md has no authorization block");
  const users = block.replaceAll(
    /user: "(\w+)", password: "…"/g,
    (_, user: string) => `user: "${user}", password: $${user.toUpperCase()}_PASSWORD`,
  );
  if (users.includes("…")) throw new Error("docs/run_nats.md: a password is written another way");
  return `${HEAD}${users}\n`;
}
