export * from './oracle.mjs';
