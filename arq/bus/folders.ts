/**
 * Which folders `arq` looks into: those named `.arqon` around the working directory, and the one with
 * the contexts. Pure: reads no environment and no disk.
 */

/** The variables that say where a person's configuration is. */
export interface FolderVariables {
  readonly XDG_CONFIG_HOME?: string | undefined;
  readonly HOME?: string | undefined;
  /** Windows. */
  readonly APPDATA?: string | undefined;
}

/** As in `FolderVariables`, for whoever asks for permissions. */
export const FOLDER_VARIABLES = ["XDG_CONFIG_HOME", "HOME", "APPDATA"] as const;

const withoutEnd = (path: string) => path.replace(/[\\/]+$/, "");

/** `.arqon` in a folder and all above it, nearest first. */
export function stateFolders(cwd: string): string[] {
  const folders: string[] = [];
  for (let at = withoutEnd(cwd); at !== "";) {
    folders.push(`${at}/.arqon`);
    const end = Math.max(at.lastIndexOf("/"), at.lastIndexOf("\\"));
    at = end < 0 ? "" : withoutEnd(at.slice(0, end));
  }
  return folders;
}

/** Where the contexts are kept; undefined when no variable says where a person's files are. */
export function configFolder(os: string, variables: FolderVariables): string | undefined {
  const { XDG_CONFIG_HOME = "", HOME = "", APPDATA = "" } = variables;
  if (os === "windows") return APPDATA === "" ? undefined : `${withoutEnd(APPDATA)}\\arqon`;
  // A relative one is to be ignored, says the XDG Base Directory Specification.
  if (XDG_CONFIG_HOME.startsWith("/")) return `${withoutEnd(XDG_CONFIG_HOME)}/arqon`;
  return HOME.startsWith("/") ? `${withoutEnd(HOME)}/.config/arqon` : undefined;
}

/** True for `folder` itself and everything below it; both absolute. */
export function isWithin(path: string, folder: string): boolean {
  const plain = (text: string) => withoutEnd(text.replaceAll("\\", "/"));
  const [at, root] = [plain(path), plain(folder)];
  return at === root || at.startsWith(`${root}/`);
}
