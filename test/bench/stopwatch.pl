#!/usr/bin/perl
# Times two programs side by side: stopwatch.pl ROUNDS STDIN-FILE exit|ready COMMAND... -- COMMAND...
# Prints a line `0 MILLISECONDS` for each run of the first and `1 MILLISECONDS` for each of the second. Every round runs
# both, the odd ones in the other order. The clock runs from before the fork until the program has ended; with `ready`
# that of the first one runs until systemd's READY=1 arrives, and then it is killed.
#
# In perl, because node's own way of starting a program takes as long as what is timed here, on both sides, which would
# flatter every ratio; and because node cannot receive a datagram.
use strict;
use warnings;
use Socket qw(AF_UNIX SOCK_DGRAM pack_sockaddr_un);
use Time::HiRes qw(CLOCK_MONOTONIC clock_gettime);

my $limit = 120; # seconds for all rounds

my ($rounds, $input, $until, @rest) = @ARGV;
my ($between) = grep { $rest[$_] eq '--' } 0 .. $#rest;
my @commands = ([@rest[0 .. $between - 1]], [@rest[$between + 1 .. $#rest]]);

open my $file, '<', $input or die "$input: $!\n";
my $text = do { local $/; <$file> } // '';
die "$input is bigger than a pipe\n" if length $text > 65536;

my $running;
$SIG{ALRM} = sub {
  kill 'KILL', $running if $running;
  die "not done within $limit s\n";
};
alarm $limit;

my $notify;
if ($until eq 'ready') {
  my $path = "$ENV{STOPWATCH_DIRECTORY}/notify";
  socket $notify, AF_UNIX, SOCK_DGRAM, 0 or die "socket: $!\n";
  bind $notify, pack_sockaddr_un($path) or die "$path: $!\n";
  $ENV{NOTIFY_SOCKET} = $path;
}

$| = 1;
for my $round (1 .. $rounds) {
  for my $which ($round % 2 ? (0, 1) : (1, 0)) {
    printf "%d %.4f\n", $which, 1000 * run($commands[$which], $which == 0 && $notify);
  }
}

sub run {
  my ($command, $tells) = @_;
  # As libvirt gives a hook its XML: through a pipe. All of it is in there before the clock runs.
  pipe my $reader, my $writer or die "pipe: $!\n";
  syswrite $writer, $text;
  close $writer;
  my $start = clock_gettime(CLOCK_MONOTONIC);
  $running = fork // die "fork: $!\n";
  if (!$running) {
    open STDIN, '<&', $reader or die "stdin: $!\n";
    open STDOUT, '>', '/dev/null' or die "stdout: $!\n";
    exec { $command->[0] } @$command or die "$command->[0]: $!\n";
  }
  my $seconds;
  if ($tells) {
    local $SIG{CHLD} = sub { }; # its end interrupts recv
    my $news = '';
    while ($news !~ /^READY=1$/m) {
      defined recv $notify, $news, 4096, 0 or die "@$command was not ready: $!\n";
    }
    $seconds = clock_gettime(CLOCK_MONOTONIC) - $start;
    kill 'KILL', $running;
  }
  waitpid $running, 0;
  $seconds //= clock_gettime(CLOCK_MONOTONIC) - $start;
  die "@$command ended with status $?\n" if $? != ($tells ? 9 : 0);
  return $seconds;
}
