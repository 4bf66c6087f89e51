# Three targets: the engine (core), the half between clone and exec (child, which must stay free of instrumentation and of
# anything that touches the stack or the libc state of the parent), and the N-API glue (addon).
# GYP_DEFINES="sanitize=address,undefined" or "sanitize=thread" instruments core and addon; scripts/build-native.mjs does it.
{
  "variables": {
    "sanitize%": "",
    # Carried by the addon; scripts/build-native.mjs builds it before.
    "guardian%": "<(module_root_dir)/build/Release/procgroup-guardian",
  },
  "target_defaults": {
    "defines": ["PROCGROUP_BUILD=<!(node scripts/protocol-build.mjs)"],
    "cflags": ["-fvisibility=hidden", "-ffunction-sections", "-fdata-sections"],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
    "cflags_cc": [
      "-std=c++20",
      "-D_GNU_SOURCE",
      "-fno-exceptions",
      "-fno-rtti",
      "-Wall",
      "-Wextra",
      "-Werror=return-type",
    ],
  },
  "targets": [
    {
      "target_name": "procgroup_child",
      "type": "static_library",
      "sources": ["native/core/child.cc"],
      "include_dirs": ["native"],
      "cflags_cc": [
        "-O2",
        "-fno-stack-protector",
        "-fno-sanitize=all",
        # No call to memset or memcpy for a loop.
        "-fno-builtin",
        "-fno-tree-loop-distribute-patterns",
        "-fno-threadsafe-statics",
        "-fno-asynchronous-unwind-tables",
      ],
      "conditions": [
        ["target_arch=='x64'", {"cflags_cc": ["-fcf-protection=none"]}],
      ],
    },
    {
      "target_name": "procgroup_core",
      "type": "static_library",
      "sources": [
        "<!@(node -p \"require('fs').readdirSync('native/core').filter(f => f.endsWith('.cc') && f != 'child.cc').map(f => 'native/core/' + f).join(' ')\")",
      ],
      "include_dirs": ["native"],
      "cflags_cc": ["-fno-threadsafe-statics"],
      "conditions": [
        ["sanitize!=''", {"cflags": ["-fsanitize=<(sanitize)", "-fno-omit-frame-pointer", "-g"]}],
      ],
    },
    {
      "target_name": "addon",
      "dependencies": ["procgroup_core", "procgroup_child"],
      "sources": [
        "<!@(node -p \"require('fs').readdirSync('native/addon').filter(f => f.endsWith('.cc')).map(f => 'native/addon/' + f).join(' ')\")",
      ],
      "include_dirs": ["native", "<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["PROCGROUP_GUARDIAN_FILE=\"<(guardian)\"", "NAPI_VERSION=9", "NODE_ADDON_API_DISABLE_DEPRECATED", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS",
                  "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "ldflags": [
        "-Wl,--gc-sections",
        "-Wl,--version-script=<(module_root_dir)/native/addon/exports.map",
        # The engine's thread outlives the Environment that loaded the addon.
        "-Wl,-z,nodelete",
        "-Wl,-z,relro",
        "-Wl,-z,now",
      ],
      "conditions": [
        ["sanitize!=''", {
          "cflags": ["-fsanitize=<(sanitize)", "-fno-omit-frame-pointer", "-g"],
          # Static, because a shared libubsan beside libasan ignores log_path.
          "ldflags": ["-fsanitize=<(sanitize)", "-static-libubsan"],
        }],
      ],
    },
  ],
}
