"""Places whose files make programs run code: settings of agents, editors, hooks, builds and shells."""

import re

# Settings of a project that run code for whoever opens, builds or commits it.
TOOL_SETTINGS = re.compile(
    r"(?:^|/)(?:"
    r"\.claude/(?:\*|settings[\w.]*\.json|hooks/|commands/|agents/|skills/|plugins/)|\.claude\.json$|\.?mcp\.json$"
    r"|\.(?:cursor|windsurf|gemini|codex|continue|roo|kiro|amazonq|qwen|opencode|aider|goose|zed|junie|augment|codeium|cline|clinerules|kilocode)[/.]"
    r"|\.aider\.conf|\.cursorrules$|\.windsurfrules$|opencode\.jsonc?$|CLAUDE\.md$|AGENTS\.md$|copilot-instructions\.md$"
    r"|\.vscode/|\.vscode-server/|\.idea/|\.fleet/|\.devcontainer(?:/|\.json)|\.exrc$|\.nvimrc$|\.nvim\.lua$|\.dir-locals\.el$"
    r"|\.github/(?:workflows/|actions/|\*)|\.gitlab-ci\.ya?ml$|\.circleci/|\.travis\.yml$|Jenkinsfile$|\.buildkite/"
    r"|azure-pipelines\.ya?ml$|bitbucket-pipelines\.yml$|\.drone\.yml$|\.woodpecker"
    r"|\.husky/|\.pre-commit-config\.yaml$|\.?lefthook(?:-local)?\.ya?ml$|\.lintstagedrc|\.githooks/"
    r"|\.git/(?:\*|hooks(?:/|$)|config(?:\.worktree)?$|info/attributes$|modules/)|\.gitmodules$"
    r"|\.envrc$|\.direnvrc$|\.mise\.toml$|\.tool-versions$|\.autoenv|\.bazelrc$|\.cargo/config(?:\.toml)?$|\.mvn/"
    r"|\.npmrc$|\.yarnrc(?:\.yml)?$|\.pnpmfile\.cjs$|\.pypirc$|\.condarc$|pip\.conf$|\.bundle/config$|\.gemrc$"
    r"|(?:site|user)customize\.py$|conftest\.py$|\.pdbrc$|\.pythonrc|\.irbrc$|\.gdbinit$|\.lldbinit$|\.ackrc$|\.ripgreprc$"
    r"|\.wgetrc$|\.curlrc$|\.netrc$|\.mailcap$|\.Rprofile$|\.sqliterc$|\.psqlrc$|\.my\.cnf$|\.ansible\.cfg$|ansible\.cfg$"
    r"|\.docker/config\.json$|\.kube/config$|\.terraformrc$|\.gradle/init|init\.gradle$|\.sbtrc$|\.m2/settings\.xml$"
    r")"
)
# Files below a home that a shell, a session or a program reads when it starts.
HOME_SETTINGS = re.compile(
    r"(?:^|/)\.(?:\w*shrc|\w*profile|\w*login|\w*logout|bash_aliases|aliases|zshenv|xinitrc|xsessionrc|xsession|inputrc"
    r"|vimrc|gvimrc|vim/|gitconfig|gitattributes_global|emacs|emacs\.d/|screenrc|tmux\.conf|Xresources|Xdefaults"
    r"|ssh/config|pam_environment|selected_editor|lesskey|lessfilter|dir_colors|editrc|mutt/|muttrc|hushlogin|nanorc"
    r"|oh-my-zsh/|local/bin/|gnupg/gpg(?:-agent)?\.conf|aws/config|muttrc|rhosts|shosts|forward|procmailrc)(?:$|(?<=/))"
    r"|^(?:~|/root|/home/[^/]+|/Users/[^/]+)/bin/|(?:^|/)\.local/share/(?:applications|dbus-1|systemd|bash-completion)/"
    r"|/Library/LaunchAgents(?:/|$)|(?:^|/)\.config/(?:git/|fish/|nvim/|environment\.d/|pip/|npm/|yarn/|tmux/|ranger/|i3/|sway/|hypr/|kitty/|alacritty/"
    r"|gh/|htop/|direnv/|zsh/|bash/|nushell/|powershell/|containers/|Code/|VSCodium/|Cursor/|sublime-text|zed/"
    r"|starship\.toml|uv/|pypoetry/|user-dirs\.dirs|plasma-workspace/|xfce4/|micro/|helix/|goose/|mise/|claude)"
)
