set encoding utf8
set size 1,0.94
set label 1 'Weak scaling of one layer' at screen 0.5, screen 0.965 center font ',15' textcolor '#202020'
set border 3 linecolor '#606060'
set tics nomirror out scale 0.6,0.3 textcolor '#303030'
set grid ytics xtics back linetype 1 linecolor '#E4E4E4' linewidth 1
set key tmargin center horizontal Left reverse samplen 2.5 spacing 1.25 width 3
set rmargin 4
set bmargin 5
set xlabel 'ranks' textcolor '#202020'
set logscale x 2
set xrange [7.361501:69.55103]
set xtics ('8' 8, '16' 16, '32' 32, '64' 64)
set ylabel 'time of the layer (ms)' textcolor '#202020'
set logscale y 10
set yrange [1:100]
set ytics ('1' 1, '2' 2, '5' 5, '10' 10, '20' 20, '50' 50, '100' 100, '' 3 1, '' 4 1, '' 6 1, '' 7 1, '' 8 1, '' 9 1, '' 30 1, '' 40 1, '' 60 1, '' 70 1, '' 80 1, '' 90 1)
set label 2 'Lines are modelled by perlmutter-slingshot11 (not calibrated); hollow marks are reported.' at screen 0.5, screen 0.025 center font ',10' textcolor '#606060'
$series1 << END
8 5.06
16 11.5
32 22.2
64 48
END
$series2 << END
8 1.99
16 3.6
32 6.43
64 12
END
$series3 << END
8 4.4
32 25
64 55
END
$series4 << END
8 1.7
32 5.2
64 9.5
END
plot $series1 using 1:2 with linespoints linecolor rgb '#0072B2' linewidth 2 pointtype 7 pointsize 1.1 pointinterval 1 title 'coupled', \
    $series2 using 1:2 with linespoints linecolor rgb '#D55E00' linewidth 2 pointtype 5 pointsize 1.1 pointinterval 1 title 'perseus', \
    $series3 using 1:2 with points linecolor rgb '#FFFFFF' pointtype 7 pointsize 1.9 notitle, \
    $series3 using 1:2 with points linecolor rgb '#0072B2' linewidth 2 pointtype 6 pointsize 1.6 title 'coupled, reported', \
    $series4 using 1:2 with linespoints linecolor rgb '#D55E00' linewidth 1.8 dashtype (10,6) pointtype 4 pointsize 1.4 pointinterval 1 title 'perseus, reported'
