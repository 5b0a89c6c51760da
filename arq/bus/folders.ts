/**
 * The folders that `arq` looks into: those named `.arqon` in the working directory and above, and the folder
 * of the contexts. Pure: reads no environment and no disk.
 */

/** The environment variables that say where a person's configuration is. */
interface FolderVariables {
  readonly XDG_CONFIG_HOME?: string | undefined;
  readonly HOME?: string | undefined;
  /** Set on Windows. */
  readonly APPDATA?: string | undefined;
}

/** Names of the `FolderVariables`, for code that asks for permission to read them. */
export const FOLDER_VARIABLES = ["XDG_CONFIG_HOME", "HOME", "APPDATA"] as const;

const withoutEnd = (path: string) => path.replace(/[\\/]+$/, "");

/** The path of `.arqon` in a folder and in every folder above it, nearest first. */
export function stateFolders(cwd: string): string[] {
  const folders: string[] = [];
  for (let at = withoutEnd(cwd); at !== "";) {
    folders.push(`${at}/.arqon`);
    const end = Math.max(at.lastIndexOf("/"), at.lastIndexOf("\\"));
    at = end < 0 ? "" : withoutEnd(at.slice(0, end));
  }
  return folders;
}

/** The folder of the contexts; undefined when no variable says where a person's files are. */
export function configFolder(os: string, variables: FolderVariables): string | undefined {
  const { XDG_CONFIG_HOME = "", HOME = "", APPDATA = "" } = variables;
  if (os === "windows") return APPDATA === "" ? undefined : `${withoutEnd(APPDATA)}\\arqon`;
  // The XDG Base Directory Specification says that a relative path is ignored.
  if (XDG_CONFIG_HOME.startsWith("/")) return `${withoutEnd(XDG_CONFIG_HOME)}/arqon`;
  return HOME.startsWith("/") ? `${withoutEnd(HOME)}/.config/arqon` : undefined;
}

/** Whether `path` is `folder` itself or below it; both are absolute. */
export function isWithin(path: string, folder: string): boolean {
  const plain = (text: string) => withoutEnd(text.replaceAll("\\", "/"));
  const at = plain(path);
  const root = plain(folder);
  return at === root || at.startsWith(`${root}/`);
}
