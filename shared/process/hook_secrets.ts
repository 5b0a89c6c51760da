/** The secrets of `[[hooks]]`, as a start checks them: each call reads its own again. */
import type { HookEntry } from "../config/automation/hooks.ts";
import { secretKeys } from "../config/values/hook_secret.ts";
import { type ReadFile, readSecret, SecretProblem } from "./secret_file.ts";

/** Throws a ConfigError with the key and the file of a called hook that cannot be used. */
export function requireHookSecrets(
  hooks: readonly HookEntry[],
  read: ReadFile,
  isCalled: (hook: HookEntry) => boolean = () => true,
): void {
  for (const [at, hook] of hooks.entries()) {
    if (!isCalled(hook)) continue;
    readSecret(read, { key: `hooks[${at}].secret_file`, path: hook.secret_file }, (text) => {
      if (secretKeys(text) !== undefined) return;
      throw new SecretProblem("holds no secret of a hook; expected whsec_ and base64, up to four");
    });
  }
}
