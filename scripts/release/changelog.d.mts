export interface Changeset {
  id: string;
  summary: string;
}
export const HEADINGS: readonly string[];
export function entryOf(changeset: Changeset): { heading: string; text: string };
export function release(changelog: string, version: string, date: string, changesets: readonly Changeset[]): string;
export function notes(changelog: string, version: string): string;
