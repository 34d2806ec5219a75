/** S3 on bad days while spans are safe in the log on the disk. */
import { testDays } from './s3-days.ts';

testDays('local');
