# The helper: answers each key with its value. Like many a daemon it does not notice that nobody is left who could ask.
while :; do
  if read -r key; then echo "value of $key"; else sleep 1; fi
done
