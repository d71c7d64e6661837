# bash completion for pglite-port. Made by scripts/make_manual.py of what --help says (make manual).
# shellcheck shell=bash

_pglite_port() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command="" i
  COMPREPLY=()
  # --option=value comes as three words.
  if [ "$word" = "=" ]; then
    word=""
  elif [ "$before" = "=" ]; then
    before=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case " port serve sql initdb dump restore repair compile help " in
      *" ${COMP_WORDS[i]} "*)
        command=${COMP_WORDS[i]}
        break
        ;;
    esac
  done
  case "$command:$before" in
    dump:-o)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
  esac
  case "$before" in
    -D | --data-dir)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$word")
      return
      ;;
    -U | --username)
      return
      ;;
    -d | --database)
      return
      ;;
    --durability)
      mapfile -t COMPREPLY < <(compgen -W "full relaxed off" -- "$word")
      return
      ;;
    --autovacuum)
      mapfile -t COMPREPLY < <(compgen -W "on off" -- "$word")
      return
      ;;
    -o)
      return
      ;;
    --preload)
      return
      ;;
    --extension-path)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --snapshot)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --save-snapshot)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --debug)
      mapfile -t COMPREPLY < <(compgen -W "0 1 2 3 4 5" -- "$word")
      return
      ;;
    --wasm)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --framing)
      mapfile -t COMPREPLY < <(compgen -W "auto packet4 raw line" -- "$word")
      return
      ;;
    --listen)
      return
      ;;
    --socket-dir)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$word")
      return
      ;;
    --socket-port)
      return
      ;;
    --socket-mode)
      return
      ;;
    --auth)
      mapfile -t COMPREPLY < <(compgen -W "remote scram trust hba" -- "$word")
      return
      ;;
    --password-file)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --tls-cert)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --tls-key)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --metrics)
      return
      ;;
    --run)
      mapfile -t COMPREPLY < <(compgen -c -- "$word")
      return
      ;;
    --ready-fd)
      return
      ;;
    --log-format)
      mapfile -t COMPREPLY < <(compgen -W "text json" -- "$word")
      return
      ;;
    -c | --command)
      return
      ;;
    -f | --file)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --format)
      mapfile -t COMPREPLY < <(compgen -W "table unaligned csv json" -- "$word")
      return
      ;;
    --history)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --pager)
      mapfile -t COMPREPLY < <(compgen -c -- "$word")
      return
      ;;
    --output)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
  esac
  case "$command" in
    port)
      local known="-h --help -D --data-dir -U --username -d --database --durability --autovacuum -o --preload --extension-path --snapshot --save-snapshot --debug --wasm --framing --stdin-end"
      [[ $word != -* ]] || mapfile -t COMPREPLY < <(compgen -W "$known" -- "$word")
      ;;
    serve)
      local known="--listen --socket-dir --socket-port --socket-owner-only --socket-mode --auth --password-file --tls-cert --tls-key --metrics --run --ready-fd --log-format --parent-death -h --help -D --data-dir -U --username -d --database --durability --autovacuum -o --preload --extension-path --snapshot --save-snapshot --debug --wasm --stdin-end"
      [[ $word != -* ]] || mapfile -t COMPREPLY < <(compgen -W "$known" -- "$word")
      ;;
    sql)
      local known="-c --command -f --file --format -t --tuples-only -A --no-align -x --expanded -q --quiet -1 --single-transaction --history --pager -h --help -D --data-dir -U --username -d --database --durability --autovacuum -o --preload --extension-path --snapshot --save-snapshot --debug --wasm"
      [[ $word != -* ]] || mapfile -t COMPREPLY < <(compgen -W "$known" -- "$word")
      ;;
    initdb)
      local known="-h --help -D --data-dir -U --username -d --database --durability -o --preload --extension-path --debug --wasm"
      [[ $word != -* ]] || mapfile -t COMPREPLY < <(compgen -W "$known" -- "$word")
      ;;
    dump)
      local known="-o --output --gzip --sql -h --help -D --data-dir -U --username -d --database --durability --preload --extension-path --snapshot --debug --wasm"
      [[ $word != -* ]] || mapfile -t COMPREPLY < <(compgen -W "$known" -- "$word")
      ;;
    restore)
      local known="-f --file -h --help -D --data-dir --durability --debug --wasm"
      [[ $word != -* ]] || mapfile -t COMPREPLY < <(compgen -W "$known" -- "$word")
      ;;
    repair)
      local known="--reset-wal --force --dry-run --no-copy -h --help -D --data-dir -U --username --debug --wasm"
      [[ $word != -* ]] || mapfile -t COMPREPLY < <(compgen -W "$known" -- "$word")
      ;;
    compile)
      compopt -o filenames 2>/dev/null
      [[ $word == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$word")
      local known="-h --help --debug --wasm"
      [[ $word != -* ]] || mapfile -t COMPREPLY < <(compgen -W "$known" -- "$word")
      ;;
    help)
      mapfile -t COMPREPLY < <(compgen -W "port serve sql initdb dump restore repair compile help" -- "$word")
      ;;
    "")
      mapfile -t COMPREPLY < <(compgen -W "port serve sql initdb dump restore repair compile help -h --help -V --version -D --data-dir -U --username -d --database --durability --autovacuum -o --preload --extension-path --snapshot --save-snapshot --debug --wasm --framing --stdin-end" -- "$word")
      ;;
  esac
}

complete -F _pglite_port pglite-port
