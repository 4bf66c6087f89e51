export const MARK: 'PROCGROUP_TEST_MARK';
export function newMark(): { id: string; env: { PROCGROUP_TEST_MARK: string } };
export function subjectEnv(env?: NodeJS.ProcessEnv): NodeJS.ProcessEnv;
export function scriptEnv(env?: NodeJS.ProcessEnv): NodeJS.ProcessEnv;
export function preparePreloading(): void;
export function preloading(env?: NodeJS.ProcessEnv): string[];
